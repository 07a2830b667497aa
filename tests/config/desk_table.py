"""Who gets into which page of the desk. A page that is missing here fails test_admin_rights.py.

Letters: S support, B billing, C a client's own staff (for their client), N staff without a role. Superusers get into
every page of MODELS and PAGES but those of which nobody does: what the program writes is not edited by anyone.
"""

# By model: who may look at its list and rows, add one, delete one. "-": nobody, superusers neither.
MODELS = {
    "tenants_client": ("SBC", "", "-"),
    "tenants_widgetconfig": ("SC", "SC", ""),
    "tenants_apikey": ("C", "-", "-"),
    "auth_user": ("", "", ""),
    "tenants_auditevent": ("", "-", "-"),
    "billing_plan": ("B", "B", "-"),
    "billing_subscription": ("B", "-", "-"),
    "billing_usagehour": ("B", "-", "-"),
    "billing_usagerecord": ("B", "-", "-"),
    "billing_budget": ("B", "B", "B"),
    "billing_alert": ("BC", "-", "-"),
    "billing_invoice": ("BC", "-", "-"),
    "billing_paymentaccount": ("B", "B", "B"),
    "billing_billingevent": ("B", "-", "-"),
    "knowledge_callback": ("S", "-", "-"),
    "knowledge_document": ("SC", "SC", "-"),
    "knowledge_chunk": ("SC", "-", "-"),
    "chat_session": ("SC", "-", "SC"),
    "chat_message": ("SC", "-", "-"),
}
# Every other address.
PAGES = {
    "two-factor": "SBC",
    "search": "SBC",
    "index": "SBC",
    "login": "SBCN",
    "logout": "SBCN",
    "password_change": "SBC",
    "password_change_done": "SBC",
    "autocomplete": "SBC",
    "jsi18n": "SBCN",
    "view_on_site": "SBC",
    "client_make_key": "C",
    "client_rotate_key": "C",
    "client_revoke_key": "C",
    "client_widget": "SC",
    "client_ask": "SC",
    "auth_user_password_change": "",
    "billing_invoice_file": "BC",
    "knowledge_document_upload": "SC",
    "knowledge_document_progress": "SC",
    "knowledge_document_erase_several": "SC",
    "knowledge_document_search": "SC",
    "knowledge_document_again": "SC",
    "knowledge_document_reindex": "SC",
    "knowledge_document_erase": "SC",
    "chat_session_export": "SC",
    "chat_session_erase": "SC",
    "app_list": "SBC",
}
